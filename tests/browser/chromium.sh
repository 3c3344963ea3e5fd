#!/bin/sh
# Finds a Chromium for the browser tests, or installs one where that is allowed. Where neither
# is possible the tests say so and are left out (never in CI, where they then fail).
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing Chromium for the browser tests (apt-get)…"
  apt-get update -qq && apt-get install -y -qq chromium >/dev/null && exit 0
fi
echo "Fetching Chromium for the browser tests (playwright)…"
.venv/bin/python -m playwright install chromium && exit 0
echo "No Chromium: the browser tests will be left out. Install chromium to run them."
exit 0
