namespace ByteStreams.Tls;

/// <summary>A connection builder that keeps the options of <c>UseTls</c>, so that its endpoint can be validated before it starts.</summary>
internal interface ITlsEndpointBuilder
{
    /// <summary>The options of the last call of <c>UseTls</c>; null without a call.</summary>
    TlsServerOptions? UsedTls { get; set; }
}
