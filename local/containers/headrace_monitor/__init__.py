"""A small monitor that stands for AWS's model monitor images on the local AWS.

It keeps AWS's contract ("Container Contract Inputs", "... Outputs"): what to read and compare comes
in environment variables; statistics.json, constraints.json and constraint_violations.json go to
`output_path`, metrics to /opt/ml/output/metrics/cloudwatch, the result in words to
/opt/ml/output/message. Without baseline it suggests one. `headrace_monitor.merge` stands for the
ground truth merger. Whoever needs what AWS's image does beyond this maps an image of their own.
"""
