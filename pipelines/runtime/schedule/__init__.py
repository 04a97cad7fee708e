"""Schedules of the whole cycle: which slots, which job, and how the cluster's scheduler is driven."""
