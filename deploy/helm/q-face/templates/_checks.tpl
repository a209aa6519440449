{{/* What values.schema.json can't say. Each sentence: what is wrong, and what to do. */}}
{{- define "q-face.checks" -}}
{{- $deployed := eq .Values.workload "deployment" -}}
{{- $auth := .Values.auth -}}
{{- if and (not $auth.insecure) (not $auth.keysSecret) (not $auth.clientCaSecret) -}}
{{- fail "nothing tells who calls: name a Secret in auth.keysSecret (keys) or auth.clientCaSecret (mutual TLS), or set auth.insecure where the network lets only callers in that may use everything" -}}
{{- end -}}
{{- if and $auth.insecure (or $auth.keysSecret $auth.clientCaSecret) -}}
{{- fail "auth.insecure serves everybody, and auth.keysSecret or auth.clientCaSecret only some: set one or the other" -}}
{{- end -}}
{{- if and $auth.clientCaSecret (not .Values.tls.enabled) -}}
{{- fail "auth.clientCaSecret checks clients' certificates inside TLS: set tls.enabled true" -}}
{{- end -}}
{{- if eq .Values.image.tag "latest" -}}
{{- fail "image.tag latest names another image tomorrow: name a version, or image.digest" -}}
{{- end -}}
{{- with .Values.termination.gracePeriodSeconds -}}
{{- $least := include "q-face.leastGrace" $ | int -}}
{{- if lt (int .) $least -}}
{{- fail (printf "termination.gracePeriodSeconds %d is shorter than the pod needs to end in order: balancerSeconds + gateway.drainSeconds + gateway.graceSeconds + 20 is %d. Raise it, or leave it null" (int .) $least) -}}
{{- end -}}
{{- end -}}
{{- if and (ne .Values.autoscaling.kind "none") (not $deployed) -}}
{{- fail (printf "autoscaling.kind %s scales the Deployment of this chart, and KServe makes its own: set autoscaling.kind none, and replicas" .Values.autoscaling.kind) -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas %d is more than autoscaling.maxReplicas %d" (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- $queue := .Values.gateway.limits.queueSeconds | default 0.8 | float64 -}}
{{- if and (ne .Values.autoscaling.kind "none") (ge (float64 .Values.autoscaling.queueAgeSeconds) $queue) -}}
{{- fail (printf "autoscaling.queueAgeSeconds %v is never reached: what waits for gateway.limits.queueSeconds (%v) is refused. Set it well below" .Values.autoscaling.queueAgeSeconds $queue) -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (not (kindIs "invalid" .Values.podDisruptionBudget.minAvailable)) -}}
{{- $least := .Values.podDisruptionBudget.minAvailable -}}
{{- $pods := include "q-face.fewestPods" . | int -}}
{{- if or (eq (toString $least) "100%") (and (not (kindIs "string" $least)) (ge (int $least) $pods)) -}}
{{- fail (printf "podDisruptionBudget.minAvailable %v of at least %d pod(s) lets no pod go, so that no node could ever be drained: lower it, set maxUnavailable instead, or more replicas" $least $pods) -}}
{{- end -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- $none := and (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) -}}
{{- if and .enabled $none -}}
{{- fail "podDisruptionBudget has neither maxUnavailable nor minAvailable: set one, or enabled false" -}}
{{- end -}}
{{- if and .enabled (kindIs "invalid" .minAvailable) (has (toString .maxUnavailable) (list "0" "0%")) -}}
{{- fail (printf "podDisruptionBudget.maxUnavailable %v lets no pod go, so that no node could ever be drained: raise it" .maxUnavailable) -}}
{{- end -}}
{{- end -}}
{{- if and (has (toString .Values.rollout.maxSurge) (list "0" "0%")) (has (toString .Values.rollout.maxUnavailable) (list "0" "0%")) -}}
{{- fail "rollout.maxSurge and rollout.maxUnavailable are both 0, and no pod could ever be replaced: raise one" -}}
{{- end -}}
{{- $memory := dig "limits" "memory" "" .Values.resources -}}
{{- if $memory -}}
{{- $shared := include "q-face.mebibytes" .Values.sharedMemory.size | int -}}
{{- if ge (add $shared 1536) (include "q-face.mebibytes" $memory | int) -}}
{{- fail (printf "resources.limits.memory %s has no room for sharedMemory.size %s, which counts against it, and 1536Mi for all else: raise the limit" $memory .Values.sharedMemory.size) -}}
{{- end -}}
{{- end -}}
{{- range $name, $quantity := dig "requests" (dict) .Values.resources -}}
{{- if and (eq $name "memory") $memory -}}
{{- if gt (include "q-face.mebibytes" $quantity | int) (include "q-face.mebibytes" $memory | int) -}}
{{- fail (printf "resources.requests.memory %s is more than resources.limits.memory %s" $quantity $memory) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $startup := .Values.probes.startup.seconds | float64 -}}
{{- if le $startup (.Values.gateway.startSeconds | float64) -}}
{{- fail (printf "probes.startup.seconds %v would end a pod whose Triton still has gateway.startSeconds (%v) to become ready: raise it" $startup .Values.gateway.startSeconds) -}}
{{- end -}}
{{- if lt (mul (int .Values.probes.liveness.periodSeconds) (int .Values.probes.liveness.failureThreshold)) 60 -}}
{{- fail (printf "probes.liveness ends a pod after %d s, in which its supervisor may still be replacing the main process: periodSeconds times failureThreshold is at least 60" (mul (int .Values.probes.liveness.periodSeconds) (int .Values.probes.liveness.failureThreshold))) -}}
{{- end -}}
{{- $ports := list (int .Values.gateway.ports.grpc) (int .Values.gateway.ports.rest) (int .Values.gateway.ports.http) -}}
{{- if ne (len (uniq $ports)) 3 -}}
{{- fail (printf "gateway.ports are three different numbers, not %v" $ports) -}}
{{- end -}}
{{- if and (has "--web" .Values.gateway.extraArgs) (not .Values.gateway.rest) -}}
{{- fail "gateway.extraArgs has --web, whose page is served at the port that gateway.rest false leaves out: set gateway.rest true, or leave --web out" -}}
{{- end -}}
{{- if .Values.gatewayApi.parentRefs -}}
{{- if .Values.auth.clientCaSecret -}}
{{- fail "auth.clientCaSecret (mutual TLS) ends at the pods, and a Gateway that routes by calls shows no client's certificate: leave gatewayApi.parentRefs empty and let clients use the headless Service, or end mutual TLS at the Gateway" -}}
{{- end -}}
{{- $grpc := .Values.gatewayApi.grpc -}}
{{- $rest := .Values.gatewayApi.rest -}}
{{- if and $rest.enabled (not .Values.gateway.rest) -}}
{{- fail "gatewayApi.rest.enabled needs the port that gateway.rest false leaves out: set gateway.rest true, or gatewayApi.rest.enabled false" -}}
{{- end -}}
{{- if and $grpc.enabled $rest.enabled -}}
{{- range $grpc.hostnames -}}
{{- if has . $rest.hostnames -}}
{{- fail (printf "%s is a hostname of both gatewayApi.grpc and gatewayApi.rest, and a Gateway takes one kind of route for a name: give REST a name of its own" .) -}}
{{- end -}}
{{- end -}}
{{- if or (not $grpc.hostnames) (not $rest.hostnames) -}}
{{- fail "gatewayApi.grpc and gatewayApi.rest need hostnames of their own where both are enabled, as a Gateway takes one kind of route for a name" -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.gatewayApi.canary.service (include "q-face.fullname" .) -}}
{{- fail (printf "gatewayApi.canary.service %s is this release's own Service: name that of the second release" .Values.gatewayApi.canary.service) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled .Values.auth.clientCaSecret -}}
{{- fail "auth.clientCaSecret (mutual TLS) ends at the pods, and an Ingress shows no client's certificate: set ingress.enabled false" -}}
{{- end -}}
{{- if has .Values.prepare.precision (ternary (list "fp16" "fp8") (list "auto") (eq .Values.variant "cpu")) -}}
{{- fail (printf "prepare.precision %s is none of variant %s: leave it empty, or choose %s" .Values.prepare.precision .Values.variant (ternary "auto, fp32, bf16 or int8" "fp32, fp16, bf16, int8 or fp8" (eq .Values.variant "cpu"))) -}}
{{- end -}}
{{- if and .Values.tracing.endpoint .Values.networkPolicy.enabled (not .Values.networkPolicy.collector) -}}
{{- fail "tracing.endpoint is out of the pods' reach: name in networkPolicy.collector where the collector is, or set networkPolicy.enabled false" -}}
{{- end -}}
{{- if and .Values.monitoring.rules (not (.Files.Glob "files/rules/*.yaml")) -}}
{{- fail "monitoring.rules: this package of the chart has no files/rules: package it from the repository, where they are links to deploy/monitoring/rules" -}}
{{- end -}}
{{- if and .Values.monitoring.dashboard (not (.Files.Get "files/q-face.dashboard.json")) -}}
{{- fail "monitoring.dashboard: this package of the chart has no files/q-face.dashboard.json: package it from the repository, where it is a link into deploy/monitoring" -}}
{{- end -}}
{{- end -}}
