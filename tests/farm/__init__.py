"""Real hosts for tests: OpenSSH servers on loopback, a proxy that misbehaves, network namespaces, fake tools."""
