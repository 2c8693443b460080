"""Medians and ratios of the recorded rounds."""

from statistics import median


class Figures:
    """Looks results up by workload and contender."""

    def __init__(self, results, workloads):
        self._yardsticks = {workload.key: workload.yardstick for workload in workloads}
        self._rounds = {}
        self._calls = {}
        self.idle = {}
        self.footprint = {}
        self.errors = []
        for result in results:
            kind, key = result["kind"], (result.get("workload"), result.get("contender"))
            if kind == "round":
                self._rounds.setdefault(key, {})[result["round"]] = result
            elif kind == "calls":
                self._calls[key] = result["calls_per_message"]
            elif kind == "footprint":
                self.footprint[key] = result["resident_mib"]
            elif kind == "idle":
                self.idle[result["contender"]] = result["cpu_share"]
            elif kind == "error":
                self.errors.append(result)

    def has(self, workload, contender):
        return (workload, contender) in self._rounds

    def values(self, workload, contender, field):
        """Returns the field of each round."""
        return [result[field] for result in self._rounds.get((workload, contender), {}).values() if field in result]

    def median(self, workload, contender, field):
        """Returns None if nothing was measured."""
        values = self.values(workload, contender, field)
        return median(values) if values else None

    def ratios(self, workload, contender, field="rate"):
        """The contender's figure over the yardstick's of the same round."""
        own, yardstick = (self._rounds.get((workload, name), {}) for name in (contender, self._yardsticks[workload]))
        return [own[number][field] / yardstick[number][field] for number in own if number in yardstick]

    def ratios_to_best(self, workload, contender, rivals, field):
        """The contender's figure over the lowest of the rivals' in the same round."""
        own, others = self._rounds.get((workload, contender), {}), [self._rounds.get((workload, name), {}) for name in rivals]
        return [own[number][field] / min(rounds[number][field] for rounds in others if number in rounds)
                for number in own if any(number in rounds for rounds in others)]

    def ratio(self, workload, contender, field="rate"):
        ratios = self.ratios(workload, contender, field)
        return median(ratios) if ratios else None

    def calls(self, workload, contender):
        return self._calls.get((workload, contender))
