"""Files written whole or not at all: locks, artifacts, output folders."""
