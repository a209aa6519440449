{{/* What is computed from several values. */}}

{{/* Seconds that the pod has from the decision to its SIGKILL. The gateway kills what is left of it 15 seconds after
drain and grace are over; 5 more for the runtime. */}}
{{- define "q-face.leastGrace" -}}
{{- add .Values.termination.balancerSeconds (ceil .Values.gateway.drainSeconds) (ceil .Values.gateway.graceSeconds) 20 -}}
{{- end -}}

{{- define "q-face.grace" -}}
{{- .Values.termination.gracePeriodSeconds | default (include "q-face.leastGrace" .) -}}
{{- end -}}

{{/* The fewest pods that the release runs. */}}
{{- define "q-face.fewestPods" -}}
{{- ternary .Values.replicas .Values.autoscaling.minReplicas (eq .Values.autoscaling.kind "none") -}}
{{- end -}}

{{/* A quantity of memory in MiB, rounded down. */}}
{{- define "q-face.mebibytes" -}}
{{- $quantity := . | toString -}}
{{- if hasSuffix "Ti" $quantity -}}{{ mulf (trimSuffix "Ti" $quantity | float64) 1048576 | floor | int64 }}
{{- else if hasSuffix "Gi" $quantity -}}{{ mulf (trimSuffix "Gi" $quantity | float64) 1024 | floor | int64 }}
{{- else -}}{{ trimSuffix "Mi" $quantity | float64 | floor | int64 }}
{{- end -}}
{{- end -}}
