"""Drills of the chart on one machine."""
