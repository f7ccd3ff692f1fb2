"""What loncron looks at: each check is a function of a :class:`loncron.visit.Visit` that gives findings."""
