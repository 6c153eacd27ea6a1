{{/*
Rules of NetworkPolicies. Each edge between two of our components is said twice: as what the one may call and
as who may call the other.
*/}}

{{/* Pods of components of this release, as peers: dict root, components. */}}
{{- define "vitrine.peers" -}}
{{- range .components }}
- podSelector:
    matchLabels:
      {{- include "vitrine.selector" (dict "root" $.root "component" .) | nindent 6 }}
{{- end -}}
{{- end -}}

{{/*
Pods by the labels of their namespace and their own, either of which may be empty: dict namespace, pod.
*/}}
{{- define "vitrine.peers.labelled" -}}
- namespaceSelector:
    {{- if .namespace }}
    matchLabels:
      {{- toYaml .namespace | nindent 6 }}
    {{- else }} {}
    {{- end }}
  {{- with .pod }}
  podSelector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}

{{/* Ports as a list: TCP alone. */}}
{{- define "vitrine.ports" -}}
{{- range . }}
- protocol: TCP
  port: {{ . }}
{{- end }}
{{- end -}}

{{/* A rule for callers among our components: dict root, components, port. */}}
{{- define "vitrine.rule.from" -}}
- from:
    {{- include "vitrine.peers" . | trim | nindent 4 }}
  ports:
    {{- include "vitrine.ports" (list .port) | trim | nindent 4 }}
{{- end -}}

{{/* A rule for what is called among our components: dict root, components, port. */}}
{{- define "vitrine.rule.to" -}}
- to:
    {{- include "vitrine.peers" . | trim | nindent 4 }}
  ports:
    {{- include "vitrine.ports" (list .port) | trim | nindent 4 }}
{{- end -}}

{{/* A rule for calls beyond the release, anywhere where no peers are said: dict peers, ports. */}}
{{- define "vitrine.rule.beyond" -}}
- ports:
    {{- include "vitrine.ports" .ports | trim | nindent 4 }}
  {{- with .peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The rule for Prometheus: dict root, port. Empty where there are no metrics. */}}
{{- define "vitrine.rule.metrics" -}}
{{- if .root.Values.metrics.enabled -}}
{{- $prometheus := .root.Values.networkPolicy.prometheus -}}
- from:
    {{- $labels := dict "namespace" $prometheus.namespaceMatchLabels "pod" $prometheus.podMatchLabels }}
    {{- include "vitrine.peers.labelled" $labels | nindent 4 }}
  ports:
    {{- include "vitrine.ports" (list .port) | trim | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* The rules for DNS, which all of our pods ask. */}}
{{- define "vitrine.rule.dns" -}}
{{- with .Values.networkPolicy.dns -}}
- to:
    {{- $labels := dict "namespace" .namespaceMatchLabels "pod" .podMatchLabels }}
    {{- include "vitrine.peers.labelled" $labels | nindent 4 }}
    {{- with .extraPeers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- range .ports }}
    - protocol: UDP
      port: {{ . }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* The rule for the collector of traces. Empty where there are none. */}}
{{- define "vitrine.rule.traces" -}}
{{- if .Values.tracing.enabled -}}
{{- $url := urlParse .Values.tracing.endpoint -}}
{{- $port := default (ternary "443" "80" (eq $url.scheme "https")) (regexFind ":[0-9]+$" $url.host | trimPrefix ":") -}}
{{- include "vitrine.rule.beyond" (dict "peers" .Values.networkPolicy.collector.peers "ports" (list $port)) -}}
{{- end -}}
{{- end -}}

{{/*
The rule for pictures by address: the internet without what is special (RFC 6890). Services look at addresses
themselves; this holds should they ever be wrong.
*/}}
{{- define "vitrine.rule.pictures" -}}
{{- with .Values.networkPolicy.pictures -}}
{{- if .enabled -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          - 0.0.0.0/8
          - 10.0.0.0/8
          - 100.64.0.0/10
          - 127.0.0.0/8
          - 168.63.129.16/32
          - 169.254.0.0/16
          - 172.16.0.0/12
          - 192.0.0.0/24
          - 192.168.0.0/16
          - 198.18.0.0/15
          - 224.0.0.0/4
          - 240.0.0.0/4
          {{- with .extraExcept }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
    - ipBlock:
        # Global unicast; unique local, link-local and multicast addresses are beyond it.
        cidr: 2000::/3
        except:
          - 2001::/23
          - 2002::/16
  ports:
    {{- include "vitrine.ports" .ports | trim | nindent 4 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The policy of a component: dict root, component, ingress and egress, lists of rules as texts of which some may
be empty. DNS is for all who call somebody, and the collector for those who make spans (`traces`).
*/}}
{{- define "vitrine.policy" -}}
{{- if .root.Values.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "vitrine.metadata" (dict "root" .root "component" .component) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "vitrine.selector" (dict "root" .root "component" .component) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with compact (default list .ingress) }}
  ingress:
    {{- join "\n" . | nindent 4 }}
  {{- end }}
  {{- $rules := default list .egress }}
  {{- if .traces }}{{ $rules = prepend $rules (include "vitrine.rule.traces" .root) }}{{ end }}
  {{- with compact $rules }}
  egress:
    {{- join "\n" (prepend . (include "vitrine.rule.dns" $.root)) | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
