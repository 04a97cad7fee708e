"""What every step stands on: configuration, files, store, tracking, registry, jobs and schedules."""
