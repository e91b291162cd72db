"""The database: engine, unit of work, jobs and migrations. Nothing but the database holds state."""
