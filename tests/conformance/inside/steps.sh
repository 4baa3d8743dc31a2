# What a scenario in the shell says while it runs; see steps.py. Fails at the first failing command.
set -euo pipefail
step() {
    echo "{\"call\": \"$1\", \"bug\": \"\"}" >> "$CONFORMANCE_STEPS"
}
