{{- define "causeway.namespace" -}}causeway-system{{- end -}}

{{- define "causeway.isHub" -}}
{{- if has .Values.role (list "hub" "both") }}yes{{ end -}}
{{- end -}}

{{- define "causeway.isMember" -}}
{{- if has .Values.role (list "member" "both") }}yes{{ end -}}
{{- end -}}

{{/* What finds the Pods of one program: its name */}}
{{- define "causeway.selector" -}}
app.kubernetes.io/name: causeway
app.kubernetes.io/component: {{ . }}
{{- end -}}

{{/* Labels by convention (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/), of an object of
     no program where there is no component: (dict "root" $ "component" "agent") */}}
{{- define "causeway.labels" -}}
app.kubernetes.io/name: causeway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: causeway
{{- end -}}

{{/* The same of an object of the release, with who manages it: as above */}}
{{- define "causeway.releaseLabels" -}}
{{ include "causeway.labels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Annotations of a program's Pods, which may be none: (dict "root" $ "port" "8080") */}}
{{- define "causeway.annotations" -}}
{{- $annotations := dict -}}
{{- if and (.root.Values.metrics).enabled (not (.root.Values.metrics).podMonitor) -}}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" .port "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- with merge (deepCopy .root.Values.podAnnotations) $annotations }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* metadata of an object, cluster-scoped without a namespace: (dict "root" $ "name" N "component" C "namespace" NS) */}}
{{- define "causeway.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "causeway.releaseLabels" . | nindent 2 }}
{{- end -}}

{{/* A binding to the role of the same name: (dict "root" $ "kind" "Role" "name" N "component" C "namespace" NS) */}}
{{- define "causeway.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  {{- include "causeway.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ include "causeway.namespace" . }}
{{- end -}}

{{/* A manager's Deployment and its disruption budget:
     (dict "root" $ "component" C "values" V "args" [...] "env" [...] "hub" bool) */}}
{{- define "causeway.manager" -}}
{{- $name := printf "causeway-%s" .component -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "causeway.metadata" (dict "root" $root "name" $name "namespace" (include "causeway.namespace" .) "component" .component) | nindent 2 }}
spec:
  replicas: {{ .values.replicas }}
  selector:
    matchLabels:
      {{- include "causeway.selector" .component | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "causeway.labels" . | nindent 8 }}
        {{- with $root.Values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with include "causeway.annotations" (dict "root" $root "port" "8080") }}
      annotations:
        {{- . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      {{- with .values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      terminationGracePeriodSeconds: 10
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        {{- if .credential }}
        fsGroup: 65532
        {{- end }}
        seccompProfile:
          type: RuntimeDefault
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- $component := .component }}
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "causeway.selector" $component | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ $root.Values.image.name | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [/usr/bin/{{ $name }}]
          args:
            {{- with .args }}{{ toYaml . | nindent 12 }}{{ end }}
            - --log-format={{ $root.Values.logFormat }}
          {{- with .env }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: health
              containerPort: 8080
              protocol: TCP
          readinessProbe:
            httpGet:
              path: /readyz
              port: health
            periodSeconds: 5
            timeoutSeconds: 5
          livenessProbe:
            httpGet:
              path: /healthz
              port: health
            initialDelaySeconds: 10
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          {{- if .credential }}
          volumeMounts:
            - name: hub
              mountPath: /etc/causeway/hub
              readOnly: true
          {{- end }}
      {{- if .credential }}
      volumes:
        # Made by `causeway join`, renewed by controller-manager, which says in /readyz if it is not there.
        - name: hub
          secret:
            secretName: causeway-hub
            optional: true
            defaultMode: 288
      {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "causeway.metadata" (dict "root" $root "name" $name "namespace" (include "causeway.namespace" .) "component" .component) | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "causeway.selector" .component | nindent 6 }}
{{- end -}}
