namespace ByteStreams.Tls;

/// <summary>The options of the handshake, which <c>GetExtraInfo("sslcontext")</c> returns.</summary>
internal sealed record TlsOptionsFeature(object Options);
