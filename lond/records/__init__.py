"""Users' and domains' records: databases, schema, damage; :mod:`lond.storage` stands before them."""
