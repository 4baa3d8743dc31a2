"""Deployment: an approved package becomes what an endpoint serves. Pure decisions."""
