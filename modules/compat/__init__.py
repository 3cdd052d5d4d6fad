"""What foreign code needs to run beside this program. Only this room patches modules that are not ours."""
