"""Training: a dataset version becomes a candidate that is measured and judged.

`plan` says what a run reads and which job it starts, `evaluation` is what the job reports, `gate`
judges it. All are pure; `headrace.aws.runs` feeds them.
"""
