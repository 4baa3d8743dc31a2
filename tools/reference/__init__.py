"""The reference pages: each module reads the code and returns one page of docs/."""
