namespace ByteStreams.Streams;

/// <summary>The options of the handshake, for <c>GetExtraInfo("sslcontext")</c>.</summary>
internal sealed record TlsOptionsFeature(object Options);
