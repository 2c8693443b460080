#:package NuGet.Packaging
#:property PublishAot=false
// Checks packages as a feed and a debugger will use them, and prints a line for each defect. The exit code is 1 if there is one.
//   dotnet run packaging/validate.cs -- FILE.nupkg...        the symbols are in FILE.snupkg beside it
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using NuGet.Packaging;
using NuGet.Packaging.Core;

// Source: the Portable PDB specification, "Embedded Source".
var embeddedSource = new Guid("0E8A571B-6926-466E-B4AD-8AB04611F5FE");
List<string> defects = [];
foreach (string file in args)
{
    Validate(file);
}

defects.ForEach(Console.WriteLine);
return defects.Count == 0 ? 0 : 1;

void Validate(string file)
{
    void Check(bool holds, string defect)
    {
        if (!holds)
        {
            defects.Add($"{Path.GetFileName(file)}: {defect}");
        }
    }

    using var package = new PackageArchiveReader(file);
    NuspecReader nuspec = package.NuspecReader;
    HashSet<string> files = [.. package.GetFiles()];
    RepositoryMetadata repository = nuspec.GetRepositoryMetadata();
    Check(nuspec.GetVersion() is { IsPrerelease: false, Revision: 0 }, "the version is not MAJOR.MINOR.PATCH");
    Check(nuspec.GetLicenseMetadata() is { Type: LicenseType.Expression }, "there is no licence expression");
    Check(nuspec.GetDescription().Length is > 20 and <= 4000, "the description is missing or longer than 4,000 characters");
    Check(nuspec.GetTags().Length > 0, "there are no tags");
    Check(nuspec.GetReleaseNotes().Length > 0, "there are no release notes");
    Check(nuspec.GetAuthors() is { Length: > 0 } authors && authors != nuspec.GetId(), "there is no author");
    Check(repository.Commit.Length == 40, "the repository's commit is missing");
    Check(files.Contains(nuspec.GetReadme() ?? string.Empty), "the readme is missing");
    Check(nuspec.GetIcon() is string icon && files.Contains(icon) && IsIcon(package.GetEntry(icon).Open()), "the icon is missing or not a PNG of 128 by 128 pixels");

    string symbols = Path.ChangeExtension(file, ".snupkg");
    if (!File.Exists(symbols))
    {
        // A package of templates has no assembly.
        Check(!files.Any(IsAssembly), "there is no snupkg");
        return;
    }

    using var symbolPackage = new PackageArchiveReader(symbols);
    HashSet<string> symbolFiles = [.. symbolPackage.GetFiles()];
    foreach (string assembly in files.Where(IsAssembly))
    {
        // A tool has the assemblies of other packages beside its own.
        bool isLibrary = assembly.StartsWith("lib/", StringComparison.Ordinal);
        Check(!isLibrary || files.Contains(Path.ChangeExtension(assembly, ".xml")), $"{assembly} has no XML documentation");
        if (!symbolFiles.Contains(Path.ChangeExtension(assembly, ".pdb")))
        {
            Check(!isLibrary && !nuspec.GetId().StartsWith(Path.GetFileNameWithoutExtension(assembly), StringComparison.Ordinal), $"the symbols of {assembly} are missing");
            continue;
        }

        using var image = new PEReader(Copy(package, assembly));
        System.Collections.Immutable.ImmutableArray<DebugDirectoryEntry> entries = image.ReadDebugDirectory();
        Check(entries.Any(entry => entry.Type == DebugDirectoryEntryType.Reproducible), $"{assembly} was not compiled deterministically");
        DebugDirectoryEntry codeView = entries.First(entry => entry.Type == DebugDirectoryEntryType.CodeView);
        using MetadataReaderProvider provider = MetadataReaderProvider.FromPortablePdbStream(Copy(symbolPackage, Path.ChangeExtension(assembly, ".pdb")));
        MetadataReader pdb = provider.GetMetadataReader();
        var id = new BlobContentId(pdb.DebugMetadataHeader!.Id);
        Check(id.Guid == image.ReadCodeViewDebugDirectoryData(codeView).Guid && id.Stamp == codeView.Stamp, $"the symbols are not those of {assembly}");
        foreach (DocumentHandle handle in pdb.Documents)
        {
            string source = pdb.GetString(pdb.GetDocument(handle).Name);
            Check(source.StartsWith("/_/", StringComparison.Ordinal), $"{source} names a folder of the machine that built it");
            Check(
                pdb.GetCustomDebugInformation(handle).Any(item => pdb.GetGuid(pdb.GetCustomDebugInformation(item).Kind) == embeddedSource),
                $"the source {source} is not in the symbols");
        }
    }
}

static bool IsAssembly(string name) => name.EndsWith(".dll", StringComparison.Ordinal);

static bool IsIcon(Stream png)
{
    byte[] header = new byte[24];
    using (png)
    {
        png.ReadExactly(header);
    }

    // Source: the PNG specification, sections 5.2 (signature) and 11.2.2 (IHDR: width and height).
    return header.AsSpan(0, 8).SequenceEqual((ReadOnlySpan<byte>)[0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        && header.AsSpan(16, 8).SequenceEqual((ReadOnlySpan<byte>)[0, 0, 0, 128, 0, 0, 0, 128]);
}

static MemoryStream Copy(PackageArchiveReader package, string entry)
{
    var copy = new MemoryStream();
    using Stream content = package.GetEntry(entry).Open();
    content.CopyTo(copy);
    copy.Position = 0;
    return copy;
}
