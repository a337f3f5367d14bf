"""Metrics and self-dub evaluation."""
