# One image for both processes; which one runs, and as which account, is compose.yaml's to say.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /source
RUN python -m venv /opt/waypost
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY state state
COPY reconciler reconciler
COPY shards shards
COPY desired desired
RUN /opt/waypost/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt uv \
 && /opt/waypost/bin/uv pip install --no-cache --python /opt/waypost/bin/python -c constraints.txt '.[traefik]' \
 && /opt/waypost/bin/python -m compileall -q /opt/waypost

FROM python:${PYTHON}-slim
# Two accounts in one group: the reconciler owns the home, the gateway only its own directory inside it, which the
# reconciler may read. The group bit makes what either writes there belong to the group.
RUN groupadd --gid 9100 waypost \
 && useradd --uid 9100 --gid 9100 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin waypost-gateway \
 && useradd --uid 9101 --gid 9100 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin waypost-reconciler \
 && install -d -m 0750 -o 9101 -g 9100 /var/lib/waypost \
 && install -d -m 2770 -o 9100 -g 9100 /var/lib/waypost/gateway
COPY --from=build /opt/waypost /opt/waypost
ENV PATH=/opt/waypost/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WAYPOST_HOME=/var/lib/waypost
VOLUME ["/var/lib/waypost", "/var/lib/waypost/gateway"]
USER 9100:9100
EXPOSE 9100 9101
ENTRYPOINT ["waypost"]
CMD ["serve-gateway"]
