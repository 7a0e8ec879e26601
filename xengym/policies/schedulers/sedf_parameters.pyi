from xengym.policies.schedulers.sedf_periods import SedfPeriods

MAX_WEIGHT: int
SHARE_PER_EXTRAWEIGHT: int

class SedfParameters(SedfPeriods): ...
