"""The work of a night: plan, fetch, check, store, build, audit, publish; each step resumable by itself."""
