"""The device that torch computes on, the table of accelerators and their peak rates."""
