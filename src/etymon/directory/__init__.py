"""People, groups, roles, trust entries and PIV identity accounts of one organisation."""
