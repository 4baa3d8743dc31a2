"""Monitoring: captured traffic and outcomes become windows, windows become reports."""
