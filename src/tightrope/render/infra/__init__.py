"""What the targets that write infrastructure share: safe names and text, schedules as calendars, a plan's pools as they are deployed.

Comes in: a ``Plan``. Goes out: ``deploy.Deployed``, and templates filled so that no text of a user can become code.
"""
