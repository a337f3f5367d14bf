"""Pages that people look at: one about each run, one about a batch. They need no network."""

from dubber.report.facts import ReportFacts
from dubber.report.index import IndexEntry, write_index
from dubber.report.write import check_report, write_report

__all__ = ["IndexEntry", "ReportFacts", "check_report", "write_index", "write_report"]
