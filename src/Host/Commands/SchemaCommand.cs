namespace StreamsHost.Commands;

/// <summary>Prints the JSON schema of the configuration file, for editors and validators.</summary>
internal sealed class SchemaCommand : HostSubcommand
{
    /// <summary>The library's schema with the host's own sections, as an embedded text.</summary>
    public const string Schema = "appsettings.schema.json";

    public SchemaCommand()
        : base("schema", "Prints the JSON schema of the configuration file.", "schema > appsettings.schema.json") =>
        SetAction(parsed => parsed.InvocationConfiguration.Output.Write(EmbeddedText.Read(Schema)));

    public override bool TakesConfiguration => false;
}
