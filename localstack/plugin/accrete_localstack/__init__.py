"""Plugins of LocalStack. It finds them by the entry points in the dist-info folder beside this one."""
