"""From a checkpoint to a model repository that Triton serves."""

from runtime.telemetry import switch_off

switch_off()
