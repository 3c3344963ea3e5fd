"""A slow line between a tab and its server: what the server says comes late."""

from __future__ import annotations

SLOW_LINE = """(() => { const Plain = window.WebSocket; let late = 0, last = 0;
  window.slowLine = milliseconds => { late = milliseconds; };
  window.WebSocket = class extends Plain { constructor(...given) { super(...given);
    let take = null;
    Object.defineProperty(this, "onmessage", { get: () => take, set: f => { take = f; } });
    this.addEventListener("message", told => { const now = performance.now();
      last = Math.max(now + late, last);
      setTimeout(() => take && take.call(this, told), last - now); }); } }; })()"""
"""A script for a tab to begin with; `slowLine(milliseconds)` then holds back each message as long,
in order."""
