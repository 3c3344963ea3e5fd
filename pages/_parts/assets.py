"""Where the dashboard's own files are."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"
