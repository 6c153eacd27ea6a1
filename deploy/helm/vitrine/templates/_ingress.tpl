{{/* An Ingress to a port of the gateway: dict root, values, port. */}}
{{- define "vitrine.ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- $name := printf "%s-%s" (include "vitrine.fullname" .root) .port }}
  {{- $own := dict "root" .root "component" "gateway" "name" $name "annotations" .values.annotations }}
  {{- include "vitrine.metadata" $own | nindent 2 }}
spec:
  {{- with .values.ingressClassName }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- $hosts := prepend .values.extraHosts .values.hostname }}
  rules:
    {{- range $hosts }}
    - host: {{ tpl . $.root | quote }}
      http:
        paths:
          - path: {{ $.values.path }}
            pathType: {{ $.values.pathType }}
            backend:
              service:
                name: {{ include "vitrine.fullname" $.root }}-gateway
                port:
                  name: {{ $.port }}
    {{- end }}
  {{- if .values.tls }}
  tls:
    - secretName: {{ default (printf "%s-tls" .values.hostname) .values.tlsSecret }}
      hosts:
        {{- range $hosts }}
        - {{ tpl . $.root | quote }}
        {{- end }}
  {{- end }}
{{- end -}}
