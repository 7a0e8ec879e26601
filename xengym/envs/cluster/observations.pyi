GLOBAL_FEATURES: tuple[tuple[str, str], ...]
HOST_FEATURES: tuple[tuple[str, str], ...]
DOMAIN_FEATURES: tuple[tuple[str, str], ...]
