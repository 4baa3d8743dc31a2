"""The command line: the same commands for the local AWS and for a real one, by boto3 alone."""
