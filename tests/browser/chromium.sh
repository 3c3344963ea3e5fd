#!/bin/sh
# Finds the Chromium that is asked for, or installs it where that is allowed: by default its headless
# shell, for the tests. Any other does where it cannot be had. Where there is none at all the tests
# say so and are left out (never in CI, where they then fail).
wanted=${1:-chromium-headless-shell}
command -v "$wanted" >/dev/null 2>&1 && exit 0
install() {
  command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
  echo "Installing $1 for the browser tests (apt-get)…"
  apt-get update -qq && apt-get install -y -qq "$1" >/dev/null
}
install "$wanted" && exit 0
for name in chromium chromium-browser google-chrome google-chrome-stable chromium-headless-shell; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
install chromium && exit 0
echo "Fetching Chromium for the browser tests (playwright)…"
.venv/bin/python -m playwright install chromium && exit 0
echo "No Chromium: the browser tests will be left out. Install chromium to run them."
exit 0
