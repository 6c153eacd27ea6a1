{{/*
The objects beside a workload, the same for each component.
*/}}

{{- define "vitrine.serviceAccount" -}}
{{- if .values.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- $own := dict "name" (include "vitrine.serviceAccountName" .) "annotations" .values.serviceAccount.annotations }}
  {{- include "vitrine.metadata" (merge $own .) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/*
A Service without an address of its own, so that callers see every pod and spread their calls themselves. Metrics are
scraped over these, so that each pod is scraped once. `service` goes before the one of the values.
*/}}
{{- define "vitrine.headless" -}}
apiVersion: v1
kind: Service
metadata:
  {{- $own := dict "annotations" (get (default .values.service .service) "annotations") -}}
  {{- if .root.Values.metrics.enabled }}{{ $_ := set $own "labels" (dict "vitrine.shop/scrape" "true") }}{{ end }}
  {{- include "vitrine.metadata" (merge $own .) | nindent 2 }}
spec:
  type: ClusterIP
  clusterIP: None
  selector:
    {{- include "vitrine.selector" . | nindent 4 }}
  ports:
    - name: grpc
      port: {{ .port }}
      targetPort: grpc
      protocol: TCP
      appProtocol: grpc
    {{- if .root.Values.metrics.enabled }}
    - name: metrics
      port: {{ add .port 1000 }}
      targetPort: metrics
      protocol: TCP
      appProtocol: http
    {{- end }}
{{- end -}}

{{- define "vitrine.pdb" -}}
{{- if .values.pdb.create -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "vitrine.metadata" . | nindent 2 }}
spec:
  {{- if ne (toString .values.pdb.minAvailable) "" }}
  minAvailable: {{ .values.pdb.minAvailable }}
  {{- else }}
  maxUnavailable: {{ ternary 1 .values.pdb.maxUnavailable (eq (toString .values.pdb.maxUnavailable) "") }}
  {{- end }}
  {{- if semverCompare ">=1.27-0" .root.Capabilities.KubeVersion.Version }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  {{- end }}
  selector:
    matchLabels:
      {{- include "vitrine.selector" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/*
An autoscaler: the component with `workload` and `metrics`, a map of Pods metrics to what is aimed at.
*/}}
{{- define "vitrine.hpa" -}}
{{- with .values.autoscaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "vitrine.metadata" $ | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ $.workload }}
    name: {{ include "vitrine.object" $ }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    {{- range $name, $target := $.metrics }}
    - type: Pods
      pods:
        metric:
          name: {{ $name }}
        target:
          type: AverageValue
          averageValue: {{ $target | quote }}
    {{- end }}
    {{- with .targetCPU }}
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ . }}
    {{- end }}
    {{- with .extraMetrics }}
    {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 4 }}
    {{- end }}
  {{- with .behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/*
How many pods a workload has: a list of its kind, the component, and the number where no autoscaler says it. Where one
does, it is as many as run: an upgrade that says none would take away the number that the one before said, which
Kubernetes reads as one pod. Where nothing runs yet, or charts are rendered without a cluster, none is said.
*/}}
{{- define "vitrine.replicas" -}}
{{- $component := index . 1 -}}
{{- if not (dig "autoscaling" "enabled" false $component.values) -}}
replicas: {{ index . 2 }}
{{- else -}}
{{- $running := lookup "apps/v1" (index . 0) $component.root.Release.Namespace (include "vitrine.object" $component) -}}
{{- if hasKey (default dict $running.spec) "replicas" -}}
replicas: {{ int $running.spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How pods are replaced, without what only RollingUpdate has: Kubernetes refuses it beside another type. */}}
{{- define "vitrine.strategy" -}}
{{- toYaml (ternary . (omit . "rollingUpdate") (eq (default "RollingUpdate" .type) "RollingUpdate")) -}}
{{- end -}}

{{/* A Deployment: the component as for vitrine.pod; `strategy` goes before its updateStrategy. */}}
{{- define "vitrine.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "vitrine.metadata" . | nindent 2 }}
spec:
  {{- with include "vitrine.replicas" (list "Deployment" . .values.replicaCount) }}
  {{- . | nindent 2 }}
  {{- end }}
  minReadySeconds: {{ .values.minReadySeconds }}
  {{- /* All the time that a start may take, and five minutes for an image of gigabytes. */}}
  {{- $start := mul .values.startupProbe.periodSeconds .values.startupProbe.failureThreshold }}
  progressDeadlineSeconds: {{ add $start .values.minReadySeconds 300 }}
  strategy:
    {{- include "vitrine.strategy" (default .values.updateStrategy .strategy) | nindent 4 }}
  selector:
    matchLabels:
      {{- include "vitrine.selector" . | nindent 6 }}
  template:
    {{- include "vitrine.pod" . | nindent 4 }}
{{- end -}}
