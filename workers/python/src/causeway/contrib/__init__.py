"""Applications of web frameworks, which share settings, models, dependencies and users with workers."""
