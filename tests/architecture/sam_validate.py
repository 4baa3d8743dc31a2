"""Runs `sam validate --lint` once per (template, environment); started by SAM's own interpreter.

One process for all of them: importing the SAM CLI takes longer than validating.
Arguments: pairs of template and environment. Prints one JSON object: the pair and its exit code.
"""

import contextlib
import io
import json
import sys

from samcli.cli.main import cli

results = []
for template, environment in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    said = io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main(
                ["validate", "--lint", "--template", template, "--config-env", environment],
                standalone_mode=False,
            )
        except SystemExit as end:
            code = end.code
        except Exception as error:  # noqa: BLE001 — whatever SAM says against a template is a finding
            code = f"{type(error).__name__}: {error}"
    results.append([template, environment, code, said.getvalue()])
sys.stdout.write("\n" + json.dumps(results))
