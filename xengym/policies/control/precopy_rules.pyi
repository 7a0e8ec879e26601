LAWS: tuple[str, ...]
STOP_RULES: tuple[str, ...]
