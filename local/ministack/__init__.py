"""MiniStack 1.5.33 with the corrections that bring it to what AWS documents.

The only package that imports `ministack`. One module per concern; each correction says what AWS
documents and what stock MiniStack does, checks that the internals it replaces are still there
(`guard`), and has a contract test in tests/local/ministack. When upstream is right, delete it.
"""
