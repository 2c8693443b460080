using ByteStreams.Configuration;

namespace StreamsHost.Commands;

/// <summary>Prints the JSON schema of the configuration file, for editors and checks elsewhere.</summary>
internal sealed class SchemaCommand : HostSubcommand
{
    public SchemaCommand()
        : base("schema", "Prints the JSON schema of the configuration file.", "schema > appsettings.schema.json") =>
        SetAction(parsed => parsed.InvocationConfiguration.Output.Write(ConfigurationSchema.Text));

    public override bool TakesConfiguration => false;
}
