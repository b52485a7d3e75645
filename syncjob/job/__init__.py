"""The job itself: a run, its sweep of the follower list, its enrichment. No HTTP, no SQL."""
