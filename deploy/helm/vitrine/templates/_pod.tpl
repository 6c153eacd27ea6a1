{{/*
The pod of a service. Besides what names a component (see _names.tpl) the dict has
  workload     Deployment or StatefulSet
  prefix       of its variables, as in VITRINE_<prefix>_
  port         of gRPC; metrics are 1,000 and health 2,000 above
  http         port of HTTP, if any
  service      full name of the RPC service whose health is readiness
  asks, calls  see _environment.tpl
  environment  further variables, as a map
  volumes      further volumes, as a map of name to volume
  mounts       further mounts, as a map of path to mount
  init         init containers, as text
*/}}
{{- define "vitrine.pod" -}}
{{- $ports := dict "grpc" .port "health" (add .port 2000) -}}
{{- if .root.Values.metrics.enabled }}{{ $_ := set $ports "metrics" (add .port 1000) }}{{ end -}}
{{- if .http }}{{ $_ := set $ports "http" .http }}{{ end -}}
{{- $environment := mergeOverwrite (include "vitrine.environment" . | fromYaml) (default dict .environment) -}}
{{- $volumes := dict "tmp" (dict "emptyDir" (dict "sizeLimit" "256Mi")) -}}
{{- $mounts := dict "/tmp" (dict "name" "tmp") -}}
{{- if .root.Values.tls.enabled -}}
{{- $certificate := dict "secretName" (include "vitrine.tls.secret" .) "defaultMode" 0440 -}}
{{- $_ := set $volumes "tls" (dict "secret" $certificate) -}}
{{- $_ := set $mounts "/tls" (dict "name" "tls" "readOnly" true) -}}
{{- end -}}
{{- with .root.Values.tracing -}}
{{- if and .enabled .ca.existingConfigMap (ne $.component "feed") -}}
{{- $_ := set $volumes "otlp" (dict "configMap" (dict "name" .ca.existingConfigMap)) -}}
{{- $_ := set $mounts "/otlp" (dict "name" "otlp" "readOnly" true) -}}
{{- end -}}
{{- end -}}
{{- $volumes = merge $volumes (default dict .volumes) -}}
{{- $mounts = merge $mounts (default dict .mounts) -}}
metadata:
  labels:
    {{- include "vitrine.labels.pod" . | nindent 4 }}
    {{- with .values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .component }}
    {{- with include "vitrine.secret.checksum" . }}
    checksum/secrets: {{ . }}
    {{- end }}
    {{- with merge (dict) .values.podAnnotations .root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "vitrine.pod.placement" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ add .values.preStopSeconds .values.drainSeconds 5 }}
  {{- with .values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or .init .values.initContainers }}
  initContainers:
    {{- with .init }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .values.initContainers }}
    {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "vitrine.image" (dict "root" .root "image" .values.image) }}
      imagePullPolicy: {{ .values.image.pullPolicy }}
      {{- with .values.containerSecurityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "vitrine.env" $environment | trim | nindent 8 }}
        {{- with .values.extraEnvVars }}
        {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 8 }}
        {{- end }}
      {{- if or .values.extraEnvVarsCM .values.extraEnvVarsSecret }}
      envFrom:
        {{- with .values.extraEnvVarsCM }}
        - configMapRef:
            name: {{ tpl . $.root }}
        {{- end }}
        {{- with .values.extraEnvVarsSecret }}
        - secretRef:
            name: {{ tpl . $.root }}
        {{- end }}
      {{- end }}
      ports:
        {{- range $name, $port := $ports }}
        - name: {{ $name }}
          containerPort: {{ $port }}
          protocol: TCP
        {{- end }}
      {{- include "vitrine.probe" (list "startupProbe" . "liveness") | nindent 6 }}
      {{- include "vitrine.probe" (list "readinessProbe" . .service) | nindent 6 }}
      {{- include "vitrine.probe" (list "livenessProbe" . "liveness") | nindent 6 }}
      lifecycle:
        preStop:
          exec:
            command: ["sleep", {{ .values.preStopSeconds | quote }}]
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        {{- include "vitrine.mounts" $mounts | trim | nindent 8 }}
        {{- with .values.extraVolumeMounts }}
        {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 8 }}
        {{- end }}
    {{- with .values.sidecars }}
    {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "vitrine.volumes" $volumes | trim | nindent 4 }}
    {{- with .values.extraVolumes }}
    {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Who a pod is and where it may run. */}}
{{- define "vitrine.pod.placement" -}}
serviceAccountName: {{ include "vitrine.serviceAccountName" . }}
automountServiceAccountToken: false
{{- /* A Service named vitrine-gateway would be VITRINE_GATEWAY_PORT in our environment, which is a setting. */}}
enableServiceLinks: false
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .workload }}
topologySpreadConstraints:
  {{- if .values.topologySpreadConstraints }}
  {{- include "vitrine.render" (dict "root" .root "value" .values.topologySpreadConstraints) | nindent 2 }}
  {{- else }}
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "vitrine.selector" $ | nindent 8 }}
    {{- if and (eq $.workload "Deployment") (semverCompare ">=1.27-0" $.root.Capabilities.KubeVersion.Version) }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/*
A native gRPC probe of the health port: a list of its kind, the component, and what the health is asked of.
*/}}
{{- define "vitrine.probe" -}}
{{- $kind := index . 0 -}}
{{- $component := index . 1 -}}
{{- $probe := index $component.values $kind -}}
{{- if $probe.enabled -}}
{{ $kind }}:
  grpc:
    port: {{ add $component.port 2000 }}
    service: {{ index . 2 }}
  {{- toYaml (omit $probe "enabled") | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* A map of names to volumes as a list. */}}
{{- define "vitrine.volumes" -}}
{{- range $name, $volume := . }}
- name: {{ $name }}
  {{- toYaml $volume | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A map of paths to mounts as a list. */}}
{{- define "vitrine.mounts" -}}
{{- range $path, $mount := . }}
- mountPath: {{ $path }}
  {{- toYaml $mount | nindent 2 }}
{{- end }}
{{- end -}}
