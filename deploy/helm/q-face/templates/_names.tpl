{{/* Names and labels of all objects. */}}

{{- define "q-face.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters: the longest suffix of ours, and what KServe and Deployments add, fit into a label's 63. */}}
{{- define "q-face.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What never changes in a release's life: Deployments refuse another selector. */}}
{{- define "q-face.selectorLabels" -}}
app.kubernetes.io/name: {{ include "q-face.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The selector of the pods that answer; the test's pod has another component. */}}
{{- define "q-face.serverLabels" -}}
{{ include "q-face.selectorLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "q-face.labels" -}}
{{ include "q-face.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "q-face.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "q-face.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "q-face.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default (printf "%s-%s" .Chart.AppVersion .Values.variant)) -}}
{{- end -}}
{{- end -}}

{{- define "q-face.headless" -}}
{{- printf "%s-headless" (include "q-face.fullname" .) -}}
{{- end -}}

{{- define "q-face.enginesClaim" -}}
{{- .Values.engines.existingClaim | default (printf "%s-engines" (include "q-face.fullname" .)) -}}
{{- end -}}

{{/* The scheme of gRPC's and REST's doors. */}}
{{- define "q-face.scheme" -}}
{{- ternary "https" "http" .Values.tls.enabled -}}
{{- end -}}
