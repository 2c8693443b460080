namespace ByteStreams.Tls;

/// <summary>The options of a server or client, from which its connections take their TLS settings.</summary>
internal interface ITlsSettingsSource
{
    TlsSettings TlsSettings { get; }
}
