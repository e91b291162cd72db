"""The audit trail: append-only, chained in order, its state signed every few seconds."""
