{{/* Command lines of the gateway and of deploy.prepare, one word a line. */}}

{{- define "q-face.python" -}}
- /opt/q-face/.venv-serve/bin/python
- -m
{{- end -}}

{{- define "q-face.gatewayArguments" -}}
{{- $gateway := .Values.gateway -}}
- serve
- --host=0.0.0.0
- --grpc-port={{ $gateway.ports.grpc }}
- --http-port={{ $gateway.ports.http }}
{{- if $gateway.rest }}
- --rest-port={{ $gateway.ports.rest }}
{{- else }}
- --no-rest
{{- end }}
- --repository=/var/lib/q-face/repository
- --cache=/var/lib/q-face/cache
- --control=/run/q-face/control
- --ready-file=/run/q-face/ready
{{- if eq .Values.variant "gpu" }}
- --triton=/opt/tritonserver
{{- end }}
- --processes={{ $gateway.processes }}
- --standby={{ $gateway.standby }}
- --start-timeout={{ $gateway.startSeconds }}
- --drain-seconds={{ $gateway.drainSeconds }}
- --grace-seconds={{ $gateway.graceSeconds }}
{{- if $gateway.accessLog }}
- --access-log=-
{{- end }}
{{- range $name, $flag := dict "requestBytes" "request-bytes" "waitingBytes" "waiting-bytes" "megapixels" "megapixels" "queueSeconds" "queue-seconds" "tritonSeconds" "triton-seconds" "connections" "connections" }}
{{- $value := index $gateway.limits $name }}
{{- if not (kindIs "invalid" $value) }}
- --{{ $flag }}={{ if kindIs "string" $value }}{{ $value }}{{ else if eq (float64 $value) (floor $value) }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end }}
{{- if .Values.auth.keysSecret }}
- --keys=/run/secrets/q-face/keys.toml
{{- end }}
{{- if .Values.tls.enabled }}
- --certificate=/run/secrets/q-face/tls.crt
- --private-key=/run/secrets/q-face/tls.key
{{- end }}
{{- if .Values.auth.clientCaSecret }}
- --client-authorities=/run/secrets/q-face/client-ca.crt
{{- end }}
{{- if .Values.auth.insecure }}
- --insecure
{{- end }}
{{- if .Values.tracing.endpoint }}
- --otlp-endpoint={{ .Values.tracing.endpoint }}
- --trace-ratio={{ .Values.tracing.ratio }}
{{- end }}
{{- range $gateway.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- with $gateway.tritonArgs }}
- "--"
{{- range . }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "q-face.prepareArguments" -}}
{{- $prepare := .Values.prepare -}}
- --state=/var/lib/q-face
- --target={{ ternary "tensorrt" "openvino" (eq .Values.variant "gpu") }}
{{- with $prepare.precision | default (ternary "auto" "" (eq .Values.variant "cpu")) }}
- --precision={{ . }}
{{- end }}
{{- with $prepare.weights }}
- --weights={{ . }}
{{- end }}
{{- with $prepare.tasks }}
- --tasks={{ join "," . }}
{{- end }}
{{- if $prepare.notice }}
- --notice=/etc/q-face/notice.txt
{{- end }}
{{- range $prepare.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
