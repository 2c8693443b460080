namespace ByteStreams.Tls;

/// <summary>Keeps the options of the handshake, so that <c>GetExtraInfo("sslcontext")</c> can show them.</summary>
internal sealed record TlsOptionsFeature(object Options);
