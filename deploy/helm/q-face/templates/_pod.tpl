{{/* The pod, for the Deployment and for the InferenceService; `name` is the container's. */}}

{{- define "q-face.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if eq .Values.variant "gpu" -}}
{{- $gpu := dict .Values.gpu.resource .Values.gpu.count -}}
{{- range $part := list "requests" "limits" -}}
{{- $_ := set $resources $part (merge (dict) (get $resources $part | default dict) $gpu) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "q-face.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop:
    - ALL
privileged: false
readOnlyRootFilesystem: {{ .Values.containerSecurityContext.readOnlyRootFilesystem }}
{{- end -}}

{{- define "q-face.podSecurityContext" -}}
{{- range $name := list "runAsNonRoot" "runAsUser" "runAsGroup" "fsGroup" -}}
{{- $value := index $.Values.podSecurityContext $name -}}
{{- if not (kindIs "invalid" $value) }}
{{ $name }}: {{ ternary $value (int64 $value) (kindIs "bool" $value) }}
{{- end -}}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
{{- with .Values.podSecurityContext.supplementalGroups }}
supplementalGroups:
  {{- range . }}
  - {{ int64 . }}
  {{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Empty where there are none. */}}
{{- define "q-face.tolerations" -}}
{{- $all := .Values.tolerations -}}
{{- if and (eq .Values.variant "gpu") .Values.gpu.tolerate -}}
{{- $all = prepend $all (dict "key" "nvidia.com/gpu" "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- with $all -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "q-face.stateMounts" -}}
- name: state
  mountPath: /var/lib/q-face
{{- if .Values.engines.shared }}
- name: engines
  mountPath: /var/lib/q-face/engines
{{- end }}
- name: tmp
  mountPath: /tmp
- name: shm
  mountPath: /dev/shm
{{- end -}}

{{- define "q-face.podSpec" -}}
{{- $root := .root -}}
{{- with .root -}}
serviceAccountName: {{ include "q-face.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "q-face.podSecurityContext" . | trim | nindent 2 }}
terminationGracePeriodSeconds: {{ include "q-face.grace" . }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "q-face.tolerations" . }}
tolerations:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ .topologyKey }}
    maxSkew: {{ .maxSkew }}
    whenUnsatisfiable: {{ .whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "q-face.serverLabels" $root | nindent 8 }}
    {{- if eq $root.Values.workload "deployment" }}
    # A rollout's new pods are spread among themselves.
    matchLabelKeys:
      - pod-template-hash
    {{- end }}
  {{- end }}
{{- end }}
initContainers:
  # With the same GPU: the kubelet gives the init container's devices on to the container.
  - name: prepare
    image: {{ include "q-face.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    workingDir: /opt/q-face
    command:
      {{- include "q-face.python" . | nindent 6 }}
      - deploy.prepare
    args:
      {{- include "q-face.prepareArguments" . | nindent 6 }}
    env:
      - name: HOME
        value: /tmp
    securityContext:
      {{- include "q-face.containerSecurityContext" . | nindent 6 }}
    resources:
      {{- include "q-face.resources" . | nindent 6 }}
    # Its sentence, where it ends with one, in the pod's status.
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts:
      {{- include "q-face.stateMounts" . | nindent 6 }}
      {{- if .Values.prepare.notice }}
      - name: notice
        mountPath: /etc/q-face
        readOnly: true
      {{- end }}
containers:
  - name: {{ $.name }}
    image: {{ include "q-face.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    workingDir: /opt/q-face
    command:
      {{- include "q-face.python" . | nindent 6 }}
      - deploy.gateway
    args:
      {{- include "q-face.gatewayArguments" . | nindent 6 }}
    env:
      - name: HOME
        value: /tmp
      {{- with .Values.gateway.env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      # The first, and named so, for KServe.
      - name: {{ ternary "grpc" "h2c" (eq .Values.workload "deployment") }}
        containerPort: {{ .Values.gateway.ports.grpc }}
      {{- if .Values.gateway.rest }}
      - name: rest
        containerPort: {{ .Values.gateway.ports.rest }}
      {{- end }}
      - name: http
        containerPort: {{ .Values.gateway.ports.http }}
    startupProbe:
      httpGet:
        path: /v2/health/ready
        port: http
      periodSeconds: {{ .Values.probes.startup.periodSeconds }}
      timeoutSeconds: 5
      failureThreshold: {{ divf .Values.probes.startup.seconds .Values.probes.startup.periodSeconds | ceil | int }}
    readinessProbe:
      httpGet:
        path: /v2/health/ready
        port: http
      periodSeconds: {{ .Values.probes.readiness.periodSeconds }}
      timeoutSeconds: 5
      failureThreshold: {{ .Values.probes.readiness.failureThreshold }}
    # Never on readiness: the gateway repairs its Triton itself, and a restart would only take longer.
    livenessProbe:
      httpGet:
        path: /v2/health/live
        port: http
      periodSeconds: {{ .Values.probes.liveness.periodSeconds }}
      timeoutSeconds: 5
      failureThreshold: {{ .Values.probes.liveness.failureThreshold }}
    {{- if gt (int .Values.termination.balancerSeconds) 0 }}
    lifecycle:
      # All is answered meanwhile, until nobody sends anything more; then SIGTERM drains.
      preStop:
        {{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
        sleep:
          seconds: {{ .Values.termination.balancerSeconds }}
        {{- else }}
        exec:
          command:
            - sleep
            - {{ .Values.termination.balancerSeconds | quote }}
        {{- end }}
    {{- end }}
    securityContext:
      {{- include "q-face.containerSecurityContext" . | nindent 6 }}
    resources:
      {{- include "q-face.resources" . | nindent 6 }}
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts:
      {{- include "q-face.stateMounts" . | nindent 6 }}
      - name: run
        mountPath: /run/q-face
      {{- if include "q-face.secretSources" . }}
      - name: secrets
        mountPath: /run/secrets/q-face
        readOnly: true
      {{- end }}
volumes:
  - name: state
    {{- if eq .Values.state.kind "ephemeral" }}
    ephemeral:
      volumeClaimTemplate:
        spec:
          accessModes:
            - ReadWriteOnce
          {{- with .Values.state.storageClassName }}
          storageClassName: {{ . }}
          {{- end }}
          resources:
            requests:
              storage: {{ .Values.state.size }}
    {{- else }}
    emptyDir:
      sizeLimit: {{ .Values.state.size }}
    {{- end }}
  {{- if .Values.engines.shared }}
  - name: engines
    persistentVolumeClaim:
      claimName: {{ include "q-face.enginesClaim" . }}
  {{- end }}
  - name: tmp
    emptyDir:
      medium: Memory
      sizeLimit: 512Mi
  - name: shm
    emptyDir:
      medium: Memory
      sizeLimit: {{ .Values.sharedMemory.size }}
  - name: run
    emptyDir:
      medium: Memory
      sizeLimit: 16Mi
  {{- with include "q-face.secretSources" . }}
  - name: secrets
    projected:
      # The gateway refuses keys that others can read: root's, and fsGroup's to read.
      defaultMode: 288  # 0440
      sources:
        {{- . | trim | nindent 8 }}
  {{- end }}
  {{- if .Values.prepare.notice }}
  - name: notice
    configMap:
      name: {{ include "q-face.fullname" . }}-notice
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Empty where the gateway needs no secret. */}}
{{- define "q-face.secretSources" -}}
{{- with .Values.auth.keysSecret }}
- secret:
    name: {{ . }}
    items:
      - key: {{ $.Values.auth.keysEntry }}
        path: keys.toml
{{- end }}
{{- if .Values.tls.enabled }}
- secret:
    name: {{ .Values.tls.secretName }}
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- with .Values.auth.clientCaSecret }}
- secret:
    name: {{ . }}
    items:
      - key: {{ $.Values.auth.clientCaEntry }}
        path: client-ca.crt
{{- end }}
{{- end -}}
